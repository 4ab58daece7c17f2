// The two services of Argo Events that its controller runs in pods, side by side on one host, and a check of its objects.
//
//	argo-events eventsource-service | sensor-service
//	argo-events validate <objects.json    a List of one EventBus, one EventSource and Sensors
//
// The services are those of the module, with the environment its controller gives them. One thing differs, and is why this is not
// simply the module's `./cmd`: that one serves the metrics of both at :7777 and exits where the port is taken, so two of them never
// run on one host. Here METRICS_ADDRESS says where.
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/manager/signals"

	"github.com/argoproj/argo-events/pkg/apis/events/v1alpha1"
	"github.com/argoproj/argo-events/pkg/eventsources"
	"github.com/argoproj/argo-events/pkg/metrics"
	eventbusreconciler "github.com/argoproj/argo-events/pkg/reconciler/eventbus"
	eventsourcereconciler "github.com/argoproj/argo-events/pkg/reconciler/eventsource"
	sensorreconciler "github.com/argoproj/argo-events/pkg/reconciler/sensor"
	"github.com/argoproj/argo-events/pkg/sensors"
	"github.com/argoproj/argo-events/pkg/shared/logging"
	sharedutil "github.com/argoproj/argo-events/pkg/shared/util"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "argo-events:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: argo-events eventsource-service|sensor-service|validate")
	}
	switch args[0] {
	case "eventsource-service":
		return eventSourceService()
	case "sensor-service":
		return sensorService()
	case "validate":
		return validate()
	}
	return fmt.Errorf("unknown subcommand %q", args[0])
}

func eventSourceService() error {
	eventSource, bus := &v1alpha1.EventSource{}, &v1alpha1.BusConfig{}
	if err := fromEnv(v1alpha1.EnvVarEventSourceObject, eventSource, v1alpha1.EnvVarEventBusConfig, bus); err != nil {
		return err
	}
	ctx, m := started("eventsource", eventSource.Namespace)
	return eventsources.NewEventSourceAdaptor(
		eventSource, bus, os.Getenv(v1alpha1.EnvVarEventBusSubject), os.Getenv(v1alpha1.EnvVarPodName), m).Start(ctx)
}

func sensorService() error {
	sensor, bus := &v1alpha1.Sensor{}, &v1alpha1.BusConfig{}
	if err := fromEnv(v1alpha1.EnvVarSensorObject, sensor, v1alpha1.EnvVarEventBusConfig, bus); err != nil {
		return err
	}
	config, err := sharedutil.GetClientConfig(os.Getenv(v1alpha1.EnvVarKubeConfig))
	if err != nil {
		return err
	}
	ctx, m := started("sensor", sensor.Namespace)
	return sensors.NewSensorContext(kubernetes.NewForConfigOrDie(config), dynamic.NewForConfigOrDie(config), sensor, bus,
		os.Getenv(v1alpha1.EnvVarEventBusSubject), os.Getenv(v1alpha1.EnvVarPodName), m).Start(ctx)
}

// started serves metrics; the context ends with SIGTERM or SIGINT.
func started(name, namespace string) (context.Context, *metrics.Metrics) {
	ctx := logging.WithLogger(signals.SetupSignalHandler(), logging.NewArgoEventsLogger().Named(name))
	m := metrics.NewMetrics(namespace)
	go m.Run(ctx, os.Getenv("METRICS_ADDRESS"))
	return ctx, m
}

// fromEnv reads pairs of a variable's name and what its base64 JSON is read into.
func fromEnv(pairs ...any) error {
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i].(string)
		text, err := base64.StdEncoding.DecodeString(os.Getenv(name))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := json.Unmarshal(text, pairs[i+1]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// validate says what the API server does not: the CRDs accept any field, so a misspelt one is silently ignored.
func validate() error {
	var list struct{ Items []json.RawMessage }
	if err := json.NewDecoder(os.Stdin).Decode(&list); err != nil {
		return err
	}
	var bus *v1alpha1.EventBus
	for _, item := range list.Items {
		var kind struct{ Kind string }
		if err := json.Unmarshal(item, &kind); err != nil {
			return err
		}
		check := func() error { return fmt.Errorf("not of Argo Events") }
		switch kind.Kind {
		case "EventBus":
			bus = &v1alpha1.EventBus{}
			check = func() error {
				return first(strict(item, bus), func() error { return eventbusreconciler.ValidateEventBus(bus) })
			}
		case "EventSource":
			it := &v1alpha1.EventSource{}
			check = func() error {
				return first(strict(item, it), func() error { return eventsourcereconciler.ValidateEventSource(it) })
			}
		case "Sensor":
			it := &v1alpha1.Sensor{}
			check = func() error {
				return first(strict(item, it), func() error { return sensorreconciler.ValidateSensor(it, bus) })
			}
		}
		if err := check(); err != nil {
			return fmt.Errorf("%s: %w", kind.Kind, err)
		}
		fmt.Println(kind.Kind, "is valid")
	}
	return nil
}

func strict(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

func first(err error, then func() error) error {
	if err != nil {
		return err
	}
	return then()
}
