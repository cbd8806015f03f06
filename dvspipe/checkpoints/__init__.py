"""Trained classifiers: checkpoint files, models on the Hugging Face hub, exports, and the shipped classifiers."""
