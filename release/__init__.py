"""A release in `dist/`, ready for a registry: `make release`."""
