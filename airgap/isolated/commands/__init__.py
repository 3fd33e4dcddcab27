"""One file for each verb of the command line, and what verbs after an install begin with."""
