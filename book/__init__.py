"""The book: run the chapters that changed, write the generated pages, build and check the site."""
