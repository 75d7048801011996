package filestore

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system keeps in memory what is written and read. For large content that
// costs more than all else: each byte is copied once more, and pages have to be
// found for it, which on a virtual machine may have to be found by its host first.
// Nothing is gained by it, as what a voter has stored is seldom read soon after,
// and has to be on the disk before the answer anyway. So whole blocks go past it.
const (
	directBlock = 4096      // what transfers, offsets and memory have to be a multiple of
	directLeast = 256 << 10 // bytes at a time that are worth it
)

// direct is how an open file passes the system's memory by.
type direct struct {
	on      bool // writes do
	refused bool // the file system cannot
	reopen  sync.Once

	mu     sync.Mutex
	reader *os.File // nil: reads cannot
	closed bool
}

// aligned reports whether p may go past the system's memory at an offset.
func aligned(p []byte, off int64) bool {
	return len(p) >= directLeast && len(p)%directBlock == 0 && off%directBlock == 0 &&
		uintptr(unsafe.Pointer(unsafe.SliceData(p)))%directBlock == 0
}

// append writes p at the end of the file.
func (f *osFile) append(p []byte) (n int, err error) {
	if err := f.setDirect(!f.direct.refused && aligned(p, f.written)); err != nil {
		return 0, err
	}
	n, err = f.File.Write(p)
	if f.direct.on && errors.Is(err, unix.EINVAL) {
		f.direct.refused = true
		if err := f.setDirect(false); err != nil {
			return n, err
		}
		var rest int
		rest, err = f.File.Write(p[n:])
		n += rest
	}
	return n, err
}

// setDirect has writes go past the system's memory, or not.
func (f *osFile) setDirect(on bool) error {
	if on == f.direct.on {
		return nil
	}
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return fmt.Errorf("fcntl: %w", err)
	}
	flags &^= unix.O_DIRECT
	if on {
		flags |= unix.O_DIRECT
	}
	if _, err = unix.FcntlInt(f.Fd(), unix.F_SETFL, flags); err == nil {
		f.direct.on = on
	} else if on && errors.Is(err, unix.EINVAL) {
		f.direct.refused, err = true, nil
	}
	return err
}

// ReadAt implements io.ReaderAt. What the system has in memory is taken from
// there, and what is read from the disk is not left there. The file may be closed
// meanwhile: whoever waits for a slow disk is not waited for.
func (f *osFile) ReadAt(p []byte, off int64) (int, error) {
	if !aligned(p, off) || f.inMemory(off, len(p)) {
		return f.File.ReadAt(p, off)
	}
	f.direct.reopen.Do(f.openDirect)
	f.direct.mu.Lock()
	reader := f.direct.reader
	f.direct.mu.Unlock()
	if reader != nil {
		if n, err := reader.ReadAt(p, off); err == nil {
			return n, nil
		}
	}
	return f.File.ReadAt(p, off) // which has the last word on what is wrong
}

// openDirect opens the file once more, for reads past the system's memory.
func (f *osFile) openDirect() {
	var reader *os.File
	_ = f.control(func(fd uintptr) error {
		direct, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
		if err == nil {
			reader = os.NewFile(uintptr(direct), f.Name())
		}
		return err
	})
	f.direct.mu.Lock()
	defer f.direct.mu.Unlock()
	if f.direct.closed && reader != nil {
		_ = reader.Close()
		return
	}
	f.direct.reader = reader
}

// control calls do with the file's descriptor, which nobody closes or uses again
// meanwhile.
func (f *osFile) control(do func(fd uintptr) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	if closed := raw.Control(func(fd uintptr) { err = do(fd) }); closed != nil {
		return closed
	}
	return err
}

// inMemory reports whether the system has some of a range in memory, or does not
// say.
func (f *osFile) inMemory(off int64, n int) bool {
	var has unix.Cachestat_t
	err := f.control(func(fd uintptr) error {
		return unix.Cachestat(uint(fd), &unix.CachestatRange{Off: uint64(off), Len: uint64(n)}, &has, 0)
	})
	return err != nil || has.Cache > 0
}

// Close closes the file.
func (f *osFile) Close() error {
	err := f.File.Close()
	f.direct.mu.Lock()
	defer f.direct.mu.Unlock()
	f.direct.closed = true
	if f.direct.reader != nil {
		err = errors.Join(err, f.direct.reader.Close())
	}
	return err
}
