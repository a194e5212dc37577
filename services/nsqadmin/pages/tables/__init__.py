"""Tables of pages: paging, sorting, filters, and columns that several have."""
