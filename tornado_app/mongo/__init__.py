"""The only importer of a MongoDB driver: the store, the group commit and the change feed."""
