"""What the course is: its chapters, their parameters, and what a learner has passed."""
