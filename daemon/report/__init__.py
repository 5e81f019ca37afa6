"""What there is to know about a home: status, accuracy, drift."""
