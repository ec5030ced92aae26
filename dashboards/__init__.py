"""What people see: the Flask application factory, api/ (JSON, OpenAPI), console/ (Jinja + htmx), static/.

app.py builds the application; scope.py is the one site-scoped way to data; every route declares the permission
it needs. To add a page: a module in console/ with its template. Tests: tests/dashboards, tests/e2e.
"""
