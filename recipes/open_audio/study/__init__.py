"""Run the study: training runs, what is evaluated, and the tables that say what the evidence supports."""
