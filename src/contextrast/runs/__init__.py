"""What runs leave and are known by: files, records, results, names, and which settings make a result."""
