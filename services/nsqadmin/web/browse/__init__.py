"""The message browser: listing, showing, acting, redriving."""
