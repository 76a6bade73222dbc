// A Flight client and server in Go, to hold Atom Console against another implementation.
//
//	peer get ADDRESS TICKET OUT.arrow [CA CERT KEY]   fetch into an Arrow file; prints the schema of GetSchema
//	peer serve IN.arrow [CA CERT KEY]                 serve a file over DoGet and GetSchema; prints its address
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func tlsConfig(files []string) *tls.Config {
	roots, err := os.ReadFile(files[0])
	must(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(roots)
	pair, err := tls.LoadX509KeyPair(files[1], files[2])
	must(err)
	return &tls.Config{
		RootCAs: pool, ClientCAs: pool, Certificates: []tls.Certificate{pair},
		ClientAuth: tls.RequireAndVerifyClientCert, ServerName: "localhost",
	}
}

func get(address, ticket, out string, files []string) {
	transport := insecure.NewCredentials()
	if len(files) == 3 {
		transport = credentials.NewTLS(tlsConfig(files))
	}
	client, err := flight.NewClientWithMiddleware(address, nil, nil, grpc.WithTransportCredentials(transport),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: 10 * time.Second, Timeout: time.Second, PermitWithoutStream: true}))
	must(err)
	defer client.Close()
	ctx := context.Background()
	promised, err := client.GetSchema(ctx, &flight.FlightDescriptor{
		Type: flight.DescriptorCMD, Cmd: []byte(ticket)})
	must(err)
	schema, err := flight.DeserializeSchema(promised.GetSchema(), memory.DefaultAllocator)
	must(err)
	stream, err := client.DoGet(ctx, &flight.Ticket{Ticket: []byte(ticket)})
	must(err)
	reader, err := flight.NewRecordReader(stream)
	must(err)
	defer reader.Release()
	if !schema.Equal(reader.Schema()) {
		fmt.Fprintln(os.Stderr, "the stream is not what GetSchema promised")
		os.Exit(1)
	}
	file, err := os.Create(out)
	must(err)
	writer, err := ipc.NewFileWriter(file, ipc.WithSchema(reader.Schema()))
	must(err)
	for reader.Next() {
		must(writer.Write(reader.RecordBatch()))
	}
	must(reader.Err())
	must(writer.Close())
	must(file.Close())
	fmt.Println(schema)
}

type server struct {
	flight.BaseFlightServer
	path string
}

func (s *server) open() (*os.File, *ipc.FileReader) {
	file, err := os.Open(s.path)
	must(err)
	reader, err := ipc.NewFileReader(file)
	must(err)
	return file, reader
}

func (s *server) GetSchema(context.Context, *flight.FlightDescriptor) (*flight.SchemaResult, error) {
	file, reader := s.open()
	defer file.Close()
	return &flight.SchemaResult{Schema: flight.SerializeSchema(reader.Schema(), memory.DefaultAllocator)}, nil
}

func (s *server) DoGet(_ *flight.Ticket, stream flight.FlightService_DoGetServer) error {
	file, reader := s.open()
	defer file.Close()
	writer := flight.NewRecordWriter(stream, ipc.WithSchema(reader.Schema()))
	defer writer.Close()
	for number := 0; number < reader.NumRecords(); number++ {
		batch, err := reader.RecordBatchAt(number)
		if err != nil {
			return err
		}
		if err := writer.Write(batch); err != nil {
			return err
		}
	}
	return nil
}

func serve(path string, files []string) {
	options := []grpc.ServerOption{}
	if len(files) == 3 {
		options = append(options, grpc.Creds(credentials.NewTLS(tlsConfig(files))))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	running := grpc.NewServer(options...)
	flight.RegisterFlightServiceServer(running, &server{path: path})
	fmt.Println(listener.Addr())
	must(running.Serve(listener))
}

func main() {
	switch os.Args[1] {
	case "get":
		get(os.Args[2], os.Args[3], os.Args[4], os.Args[5:])
	case "serve":
		serve(os.Args[2], os.Args[3:])
	}
}
