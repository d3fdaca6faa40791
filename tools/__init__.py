"""What builds and checks the course; none of it is installed with the package."""
