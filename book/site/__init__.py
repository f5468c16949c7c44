"""What happens to the site while Sphinx builds it and afterwards: heads, downloads, previews, the PDF."""
