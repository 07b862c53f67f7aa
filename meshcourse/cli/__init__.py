"""What is typed in a terminal: `meshcourse COMMAND`, one file per command."""
