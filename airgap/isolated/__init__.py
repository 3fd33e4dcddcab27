"""The isolated host: one room for each kind of thing, from its verbs down to its facts."""
