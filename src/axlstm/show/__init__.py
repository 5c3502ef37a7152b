"""Pictures, web pages, and facts about models and files."""
