// Package arch holds no code, only tests of the shape of this repository:
//
//   - which package may reach which other one, over the whole dependency tree
//     and for each operating system we compile for;
//   - how long a file may be;
//   - that every package says what it is, in a doc.go where it has several files;
//   - that the tests which the pages name are there.
//
// The rules are data at the top of the test files. A change that needs another
// direction of imports changes them there, in the open.
package arch
