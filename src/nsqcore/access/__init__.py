"""Who may do what over HTTP: roles, the topics they are for, and the file that gives them."""
