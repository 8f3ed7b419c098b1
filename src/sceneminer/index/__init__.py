"""The index: its tables, search by text and example, filters, hardness."""
