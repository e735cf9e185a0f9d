"""What effects load: impulse responses and neural networks."""
