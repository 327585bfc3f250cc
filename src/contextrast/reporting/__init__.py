"""What people look at: tables, figures, files and the records of runs."""
