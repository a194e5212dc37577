"""The languages of the pages: what each says, which one a browser wants, which one is spoken."""
