"""Predictions of trained models: outputs of pairs, rankings, fold-in of new users."""
