"""The history of the database's schema. The program itself runs these migrations."""
