"""Making the course: notebooks from their sources, their execution, pictures, and the site."""
