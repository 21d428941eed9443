"""The web page, its files, and the page of the API."""
