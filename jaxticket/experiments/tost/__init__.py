"""Any mask trained better: aids of training, one by one."""
