"""From a trained model to answers: outputs of pairs, lists, fold-in of new users."""
