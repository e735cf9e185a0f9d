"""Resources that effects load: impulse responses and neural networks."""
