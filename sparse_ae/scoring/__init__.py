"""From a trained model to answers: outputs of pairs, exact lists, people who came later."""
