package vm

// FaultyDevice is a [Device] whose reads and writes can be made to fail, to be
// slow, or to lie, for tests and labs. A nil hook changes nothing.
type FaultyDevice struct {
	Device

	// OnRead is called after the device was read into p from offset off. It may
	// alter p, as a disk that flips bits; what it returns is the error of the
	// read, with no byte read.
	OnRead func(p []byte, off int64) error

	// OnWrite is called before p is written at offset off. It returns how many
	// bytes reach the device (a torn write; len(p) is a whole one, 0 a lost one)
	// and the error that the writer sees: nil for a device that lies.
	OnWrite func(p []byte, off int64) (n int, err error)
}

// ReadAt reads from the device, then asks OnRead.
func (d *FaultyDevice) ReadAt(p []byte, off int64) (int, error) {
	n, err := d.Device.ReadAt(p, off)
	if d.OnRead != nil {
		if e := d.OnRead(p[:n], off); e != nil {
			return 0, e
		}
	}
	return n, err
}

// WriteAt asks OnWrite, then writes what it lets through.
func (d *FaultyDevice) WriteAt(p []byte, off int64) (int, error) {
	if d.OnWrite == nil {
		return d.Device.WriteAt(p, off)
	}
	n, fault := d.OnWrite(p, off)
	n = min(max(n, 0), len(p))
	if n > 0 {
		if m, err := d.Device.WriteAt(p[:n], off); err != nil {
			return m, err
		}
	}
	if fault == nil {
		n = len(p) // it says that all is well
	}
	return n, fault
}
