"""A credential goes in; a Caller or an error comes out."""
