"""The JSON API: declare.py says what a route takes and answers, routes.py has them, openapi.py writes the document."""
