"""How the weights are made: recipes, losses, the schedule, the trainer and its state."""
