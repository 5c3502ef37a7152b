"""Draw pictures, write web pages, and describe models and files."""
