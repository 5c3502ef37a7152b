"""Recipes: how data, tasks and studies are made with axlstm."""
