"""The course: its chapters, its solutions, and what a learner has passed."""
