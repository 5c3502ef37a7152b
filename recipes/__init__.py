"""Make data, tasks and studies with axlstm."""
