"""What is kept below the state folder, one file for each kind."""
