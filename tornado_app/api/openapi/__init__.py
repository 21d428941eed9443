"""The OpenAPI and AsyncAPI documents, made from the types of the code."""
