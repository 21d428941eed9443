"""Fields of requests, responses and messages, and how a request body is decoded."""
