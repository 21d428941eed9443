"""The usual alternatives: small programs, each written as its library's documentation suggests."""
