"""Fine-tune an encoder on labelled clips: data, heads, changes of clips, the run, its report."""
