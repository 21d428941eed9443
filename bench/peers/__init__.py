"""What one would use instead: small, honest programs, each written as its library's own documentation does."""
