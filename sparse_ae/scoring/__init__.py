"""From a trained model to answers: outputs of pairs, exact lists, fold-in of new users."""
