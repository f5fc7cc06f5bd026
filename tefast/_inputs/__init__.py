"""What callers pass in: any kind of array, table or list, taken as arrays whose axes are known."""
