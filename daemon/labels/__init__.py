"""What people say of videos, and how good that is."""
