module holdfast.example/worker

go 1.23
