"""What the learner sees and moves: figures (pure functions of data) and panels (live widgets made of them)."""
