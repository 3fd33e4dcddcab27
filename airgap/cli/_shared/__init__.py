"""What several verbs share: options, keys, sizes, tables, questions."""
