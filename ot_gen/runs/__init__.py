"""What happens in a run's folder: its record, the run itself, its judgement, its figures, its trackers."""
