"""Say where queries sound: from the scores of a detector or an encoder to stretches of time."""
